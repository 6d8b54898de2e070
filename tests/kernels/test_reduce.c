#include "kernel_test.h"
TCase *tests_reduce(void){return tcase_create("reduce");}
