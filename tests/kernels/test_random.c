#include "kernel_test.h"
TCase *tests_random(void){return tcase_create("random");}
