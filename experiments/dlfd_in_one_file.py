"""DLFD in one file: what the method is, in plain JAX, without the library.

Distribution-Level Feature Distancing (Choi and Na, AAAI 2025, arXiv:2409.14747)
makes a classifier forget people. Retain images are perturbed until the
distribution of their features lies far from that of the people to forget, while
their labels stay predictable; the weights then learn from the perturbed images:

  (1)  l_OT = S_eps(h(x*), h(x_f))       transport distance of features, cosine
  (2)  x*  <- x* + alpha sign(d/dx* [w_f l_OT - lambda_b l_CE(f(x*), y)]),  K x
  (3)  theta <- SGD step on l_CE(f(x*), y)
  (4)  while an attack tells forget images from unseen ones; else on clean x

Trains an original on drawn faces, forgets some people, and retrains without
them as the reference, within two minutes on a CPU:

  python experiments/dlfd_in_one_file.py
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ott.geometry.geometry import Geometry
from ott.tools.sinkhorn_divergence import sinkhorn_divergence
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from dlfd_jax.data.faces import synthetic

BATCH = 32
W_F = 1.0  # w_f, weight of the transport distance
LAMBDA = 0.5, 1.0  # of the cross-entropy, at the first and at the last batch
K, ALPHA = 5, 2 / 255  # sign steps a batch, and their size in pixel units
EPSILON = 0.05  # entropic regularisation of the transport, cost in [0, 2]
TAU, TAU_SAVE = 0.15, 0.15  # forgetting scores: perturb above, keep below
CHECK_EVERY = 5  # batches between two attacks
TRAIN_EPOCHS, EPOCHS = 30, 6  # of training and of unlearning


class Net(nn.Module):
  """f and h: logits ``[n, classes]`` and penultimate features ``[n, 128]``."""

  classes: int

  @nn.compact
  def __call__(self, images):
    x = images - 0.5
    for width in (16, 32, 64, 128):
      x = nn.Conv(width, (3, 3), use_bias=False)(x)
      x = nn.relu(nn.GroupNorm(num_groups=8)(x))
      x = nn.max_pool(x, (2, 2), (2, 2))
    features = x.mean((1, 2))
    return nn.Dense(self.classes)(features), features


def cross_entropy(logits, labels):
  """l_CE of each image, ``[n]`` in nats."""
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def transport_distance(h, g):
  """(1): the debiased Sinkhorn divergence, C_ij = 1 - cos(h_i, g_j).

  OT(h, g) - OT(h, h) / 2 - OT(g, g) / 2 is 0 between equal distributions. The
  gradient holds the optimal plan fixed, so no Sinkhorn iteration is derived.
  """
  unit = lambda z: z * jax.lax.rsqrt((z**2).sum(-1, keepdims=True) + 1e-8)
  cost = lambda a, b: 1 - jnp.matmul(unit(a), unit(b).T, precision='highest')
  return sinkhorn_divergence(
      Geometry, cost(h, g), cost(h, h), cost(g, g), epsilon=EPSILON,
      solve_kwargs={'threshold': 1e-3, 'max_iterations': 500})[0]


def perturb(net, params, x, y, x_f, lambda_b):
  """(2): K steps of the retain images ``x``, clipped to pixels outside of J."""
  g = net.apply(params, x_f)[1]  # h(x_f): the weights do not change in here

  def objective(x_star):
    logits, h = net.apply(params, x_star)
    return (W_F * transport_distance(h, g)
            - lambda_b * cross_entropy(logits, y).mean())

  def step(x_star, _):
    gradient = jax.grad(objective)(x_star)
    return jnp.clip(x_star + ALPHA * jnp.sign(gradient), 0, 1), None

  return jax.lax.scan(step, x, length=K, unroll=K)[0]


def optimizer(rate):
  """SGD with momentum, or what stands here instead."""
  return optax.chain(
      optax.add_decayed_weights(5e-4), optax.sgd(rate, momentum=0.9))


@functools.partial(jax.jit, static_argnums=(0, 1))
def train_step(net, opt, params, opt_state, x, y):
  """(3): one step of the weights on images as they are given."""
  loss = lambda p: cross_entropy(net.apply(p, x)[0], y).mean()
  updates, opt_state = opt.update(jax.grad(loss)(params), opt_state, params)
  return optax.apply_updates(params, updates), opt_state


@functools.partial(jax.jit, static_argnums=(0, 1))
def dlfd_step(net, opt, params, opt_state, x, y, x_f, lambda_b):
  """(2), then (3)."""
  x_star = perturb(net, params, x, y, x_f, lambda_b)
  return train_step(net, opt, params, opt_state, x_star, y)


def batches(rows, epochs, rng):
  """Shuffled rows ``[BATCH]``; what is left of an epoch is dropped."""
  for _ in range(epochs):
    order = rng.permutation(rows)
    yield from order[:len(order) // BATCH * BATCH].reshape(-1, BATCH)


def attack(params, net, members, others):
  """Forgetting score 2 |accuracy - 1/2| and AUC of an attack on losses.

  ``members`` and ``others`` are pairs ``(x, y)``. Above 1/2 the AUC says that
  members still have the lower losses; below, that they were over-forgotten.
  """
  losses = [losses_of(net, params, x, y)[0] for x, y in (members, others)]
  n = min(map(len, losses))  # as many members as non-members
  score = -np.concatenate([loss[:n] for loss in losses])[:, None]
  truth = np.repeat([1, 0], n)
  folds = StratifiedShuffleSplit(10, test_size=0.1, random_state=0)
  accuracy = cross_val_score(
      LogisticRegression(), score, truth, cv=folds).mean()
  return 2 * abs(accuracy - 0.5), roc_auc_score(truth, score)


@functools.partial(jax.jit, static_argnums=0)
def losses_of(net, params, x, y):
  """Loss and correctness of each image, ``[n]`` and ``[n]``."""
  logits, _ = net.apply(params, x)
  return cross_entropy(logits, y), logits.argmax(-1) == y


def train(net, data, rows, rng, seed):
  """A classifier from scratch: the original, or the retrained one."""
  x, y = data
  params = net.init(jax.random.key(seed), x[:1])
  steps = TRAIN_EPOCHS * (len(rows) // BATCH)
  opt = optimizer(optax.cosine_decay_schedule(0.1, steps))
  opt_state = opt.init(params)
  for batch in batches(rows, TRAIN_EPOCHS, rng):
    params, opt_state = train_step(net, opt, params, opt_state, x[batch],
                                   y[batch])
  return params


def unlearn(net, original, data, parts, rng):
  """(4): the loop; returns the most accurate parameters on val that forgot."""
  x, y = data
  part = {name: (x[rows], y[rows]) for name, rows in parts.items()}
  steps = EPOCHS * (len(parts['retain']) // BATCH)
  opt = optimizer(0.02)
  params, opt_state = original, opt.init(original)
  forget = batches(parts['forget'], 10**6, rng)  # again and again
  score, auc = attack(params, net, part['forget'], part['val'])
  kept, best = params, -1.0
  for b, batch in enumerate(batches(parts['retain'], EPOCHS, rng)):
    lambda_b = LAMBDA[0] + (LAMBDA[1] - LAMBDA[0]) * b / (steps - 1)
    args = net, opt, params, opt_state, x[batch], y[batch]
    if score >= TAU and auc > 0.5:
      params, opt_state = dlfd_step(*args, x[next(forget)], lambda_b)
    else:
      params, opt_state = train_step(*args)
    if (b + 1) % CHECK_EVERY == 0 or b + 1 == steps:
      score, auc = attack(params, net, part['forget'], part['val'])
      accuracy = float(losses_of(net, params, *part['val'])[1].mean())
      if score <= TAU_SAVE and accuracy > best:
        kept, best = params, accuracy
      import os
      if os.environ.get('DBG'): print(b, f'{score:.3f} {auc:.3f} {accuracy:.3f}')
  return kept


def main(seed=0):
  """Prints the table of the original, the unlearned and the retrained model."""
  faces = synthetic.synthetic_faces(people=280, seed=seed)
  data = jnp.float32(faces.images) / 255, jnp.asarray(faces.labels)
  rng = np.random.default_rng(seed)
  person = rng.permutation(280)[faces.identity]  # a part holds whole persons
  parts = {name: np.flatnonzero((person >= low) & (person < high))
           for name, low, high in (('forget', 0, 14), ('retain', 14, 140),
                                   ('val', 140, 170), ('test', 170, 280))}
  net = Net(faces.task.num_outputs)
  both = np.concatenate([parts['retain'], parts['forget']])
  original = train(net, data, both, rng, seed)
  models = {
      'original': original,
      'DLFD': unlearn(net, original, data, parts, rng),
      'retrained': train(net, data, parts['retain'], rng, seed + 1)}
  print('            accuracy on                attack, forget against test\n'
        'model       retain  forget  test       score  AUC')
  x, y = data
  part = {name: (x[rows], y[rows]) for name, rows in parts.items()}
  for name, params in models.items():
    accuracy = [losses_of(net, params, *part[split])[1].mean()
                for split in ('retain', 'forget', 'test')]
    print(f'{name:11} {accuracy[0]:.3f}   {accuracy[1]:.3f}   '
          f'{accuracy[2]:.3f}      '
          '{:.3f}  {:.3f}'.format(*attack(
              params, net, part['forget'], part['test'])))


if __name__ == '__main__':
  main()
