/* keep.c - results that outlive the part of the recording that computed them. */
#include <string.h>

#include "autograd/internal.h"

bool ebb_rewind_keeping(ebb_tape *t, ebb_mark m, int n, ebb_tensor **x)
{
	ebb_storage *memory = NULL;
	ebb_tensor *kept = NULL;
	bool ok = true;

	if (!m.tape)
		return true;
	if (n) {
		memory = ebb_pool_take(&t->ctx.pool, (size_t)n * sizeof *kept);
		if (!memory)
			ebb_no_memory(t, NULL, "results", (size_t)n * sizeof *kept);
		kept = memory ? ebb_storage_data(memory) : NULL;
		ok = memory != NULL;
	}
	for (int i = 0; kept && i < n; i++) {
		if (!x[i])
			continue;
		kept[i] = *x[i];
		ebb_ref(kept[i].storage);
	}
	ok = ebb_rewind_to(t, m) && ok;
	for (int i = 0; i < n; i++) {
		ebb_tensor *y = NULL;

		if (kept && x[i]) {
			y = ok ? ebb_handle_alias(t, &kept[i]) : NULL;
			/* kept[i] has kept the storage alive; now the new handle does. */
			ebb_unref(kept[i].storage);
			if (y) {
				y->name = kept[i].name;
				ebb_copy_origin(y, x[i]);
			} else {
				if (ok)
					ebb_no_memory(t, NULL, "a tensor", sizeof *y);
				ok = false;
			}
		}
		x[i] = y;
	}
	for (int i = 0; !ok && i < n; i++)
		x[i] = NULL;
	if (memory)
		ebb_unref(memory);
	return ok;
}
