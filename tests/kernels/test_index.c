#include "kernel_test.h"
TCase *tests_index(void){return tcase_create("index");}
