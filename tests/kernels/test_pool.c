#include "kernel_test.h"
TCase *tests_pool(void){return tcase_create("pool");}
