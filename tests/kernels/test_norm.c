#include "kernel_test.h"
TCase *tests_norm(void){return tcase_create("norm");}
