"""Writes the steps of PyTorch's LBFGS and Adagrad that tests/optim/lbfgs.c compares with.

    python3 tests/optim/torch_steps.py > tests/optim/torch_steps.h

Needs PyTorch.  The problem is a least-squares fit of a small network in double precision, whose numbers the test
computes by the same formulas.
"""
import math

import torch

N, IN, HIDDEN = 20, 3, 5  # as in problem.h
STEPS = 6


def fill(seed, *shape):
    count = math.prod(shape)
    return torch.tensor([math.sin(seed + 1.7 * i) for i in range(count)], dtype=torch.float64).reshape(shape)


def array(name, values):
    print(f'static const double {name}[] = {{')
    print(''.join(f'\t{value:.17g},\n' for value in values) + '};')


def run(name, make):
    x, y = fill(1, N, IN), fill(2, N, 1)
    w = [fill(3, HIDDEN, IN).requires_grad_(), fill(4, 1, HIDDEN).requires_grad_()]
    optimizer = make(w)
    calls, counts, losses = 0, [], []

    def closure():
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = (torch.tanh(x @ w[0].T) @ w[1].T - y).square().sum()
        loss.backward()
        return loss

    for _ in range(STEPS):
        losses.append(float(optimizer.step(closure)))
        counts.append(calls)
    array(name + '_loss', losses)
    print(f'static const int {name}_calls[] = {{' + ', '.join(map(str, counts)) + '};')
    array(name + '_weight', torch.cat([p.detach().flatten() for p in w]).tolist())


print('/* torch_steps.h - steps of PyTorch\'s optimizers, written by torch_steps.py: the losses at the start of')
print(' * each step, the calls of the closure up to its end, and the weights after the last step. */')
print('/* clang-format off */')
print(f'enum {{ STEPS = {STEPS} }};')
run('wolfe', lambda w: torch.optim.LBFGS(w, max_iter=4, history_size=5, line_search_fn='strong_wolfe'))
run('fixed', lambda w: torch.optim.LBFGS(w, lr=0.02, max_iter=4, history_size=3))
run('adagrad', lambda w: torch.optim.Adagrad(w, lr=0.1, lr_decay=0.25, weight_decay=0.01,
                                             initial_accumulator_value=0.5))
