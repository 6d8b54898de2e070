#include "kernel_test.h"
TCase *tests_softmax(void){return tcase_create("softmax");}
