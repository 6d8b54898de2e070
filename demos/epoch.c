/* epoch.c - one epoch of training, and the test, of a residual network on CIFAR-10. */
#include "epoch.h"

bool passed_on(const ebb_error *first, ebb_error *e)
{
	if (first)
		*e = *first;
	return !first;
}

bool train_epoch(
	trainer *r, ebb_loader *loader, keeping *keep, int epoch, progress *now, ebb_error *e)
{
	int64_t batches = ebb_loader_batches(loader), warm = 200 < batches ? 200 : batches;
	ebb_tape *t = r->t;
	ebb_batch batch;

	while (!ebb_failed(t) && ebb_loader_next(loader, &batch)) {
		int64_t step = epoch * batches + batch.index;

		ebb_optim_set_lr(r->opt, r->lr * ebb_schedule_warmup(step, warm) *
						 ebb_schedule_cosine(step, r->epochs * batches, 0));
		ebb_tensor *logits = ebb_cifar_resnet_forward(t, &r->net, batch.images);
		ebb_tensor *loss = ebb_cross_entropy(t, logits, batch.labels);

		ebb_average_add(&now->loss, ebb_item(loss), (double)batch.count);
		ebb_average_add(
			&now->accuracy, ebb_accuracy(logits, batch.labels), (double)batch.count);
		ebb_params_zero_grad(r->p);
		ebb_backward(t, loss);
		if (!ebb_optim_step(r->opt))
			break;
		ebb_tape_reset(t);
		now->images += batch.count;
		progress_show(now, epoch, r->epochs, batch.index + 1, batches);
		if (!keep_step(keep))
			break;
	}
	return passed_on(ebb_first_error(t, r->p, r->opt, loader), e);
}

bool test_epoch(trainer *r, ebb_loader *loader, double *loss, double *accuracy, ebb_error *e)
{
	ebb_average losses = {0}, accuracies = {0};
	ebb_tape *t = r->t;
	ebb_batch batch;

	ebb_set_training(t, false);
	ebb_set_recording(t, false);
	while (!ebb_failed(t) && ebb_loader_next(loader, &batch)) {
		ebb_tensor *logits = ebb_cifar_resnet_forward(t, &r->net, batch.images);

		ebb_average_add(&losses, ebb_item(ebb_cross_entropy(t, logits, batch.labels)),
			(double)batch.count);
		ebb_average_add(
			&accuracies, ebb_accuracy(logits, batch.labels), (double)batch.count);
		ebb_tape_reset(t);
	}
	ebb_set_recording(t, true);
	ebb_set_training(t, true);
	if (loss)
		*loss = ebb_average_value(&losses);
	*accuracy = ebb_average_value(&accuracies);
	return passed_on(ebb_first_error(t, loader), e);
}
