#include "kernel_test.h"
TCase *tests_optim(void){return tcase_create("optim");}
