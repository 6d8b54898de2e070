/* ebb.h - the whole public interface of Ebb in one include. */
#ifndef EBB_H
#define EBB_H

#include "autograd/autograd.h"
#include "ops/ops.h"
#include "nn/nn.h"
#include "nn/models/models.h"
#include "optim/optim.h"
#include "data/data.h"
#include "flow/flow.h"

#endif
