"""DLFD in one file of plain JAX; run it with python, for one to two minutes.

Distribution-Level Feature Distancing (Choi and Na, AAAI 2025, arXiv:2409.14747)
perturbs retain images x until the distribution of their features h lies far
from that of forget images x_f, with labels y kept, and trains on the result x*:

  (1)  l_OT = S_eps(h(x*), h(x_f))        optimal transport, cosine cost
  (2)  x*  <- clip(x* + alpha sign(d/dx* [w_f l_OT - lambda_b l_CE(f(x*), y)]))
       K times, starting from x
  (3)  theta <- one optimiser step on l_CE(f_theta(x*), y)
  (4)  so while an attack tells forget from unseen images, else (3) on clean x
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ott.geometry.geometry import Geometry
from ott.tools.sinkhorn_divergence import sinkhorn_divergence
from sklearn import linear_model, metrics, model_selection

from dlfd_jax.data.faces import synthetic

BATCH, TRAIN_EPOCHS, EPOCHS, W_F = 32, 25, 6, 1.0
LAMBDA = 0.5, 1.0  # lambda_b at the first and at the last batch
K, ALPHA, EPSILON = 5, 4 / 255, 0.05  # sign steps, size, entropic term of (1)
cross_entropy = optax.softmax_cross_entropy_with_integer_labels  # l_CE
TAU, CHECK_EVERY = 0.16, 5  # highest forgetting score, batches between attacks


class Net(nn.Module):
  """f and h: logits ``[n, classes]`` and features ``[n, 128]``."""

  classes: int

  @nn.compact
  def __call__(self, x):
    x = x - 0.5
    for width in (16, 32, 64, 128):
      x = nn.Conv(width, (3, 3), use_bias=False)(x)
      x = nn.max_pool(nn.relu(nn.GroupNorm(8)(x)), (2, 2), (2, 2))
    h = x.mean((1, 2))
    return nn.Dense(self.classes)(h), h


def transport_distance(h, g):
  """(1) OT(h, g) - OT(h, h) / 2 - OT(g, g) / 2 with cost 1 - cos(h_i, g_j)."""
  unit = lambda z: z * jax.lax.rsqrt((z**2).sum(-1, keepdims=True) + 1e-8)
  cost = lambda a, b: 1 - jnp.matmul(unit(a), unit(b).T, precision='highest')
  return sinkhorn_divergence(
      Geometry, cost(h, g), cost(h, h), cost(g, g), epsilon=EPSILON,
      solve_kwargs={'threshold': 1e-3, 'max_iterations': 500})[0]


def optimizer(rate, steps):
  return optax.chain(
      optax.clip_by_global_norm(1.0), optax.add_decayed_weights(5e-4),
      optax.sgd(optax.cosine_decay_schedule(rate, steps), momentum=0.9))


@functools.partial(jax.jit, static_argnums=(0, 1))
def train_step(net, opt, state, x, y):
  """(3) ``state`` is the parameters and the optimiser's state."""
  gradient = jax.grad(lambda p: cross_entropy(net.apply(p, x)[0], y).mean())
  updates, opt_state = opt.update(gradient(state[0]), state[1], state[0])
  return optax.apply_updates(state[0], updates), opt_state


@functools.partial(jax.jit, static_argnums=(0, 1))
def dlfd_step(net, opt, state, x, y, x_f, lambda_b):
  """(2), then (3). The clip is no part of J: there it would stop gradients."""
  g = net.apply(state[0], x_f)[1]  # once: (2) does not change the weights
  def objective(x_star):  # J
    logits, h = net.apply(state[0], x_star)
    return (W_F * transport_distance(h, g)
            - lambda_b * cross_entropy(logits, y).mean())
  for _ in range(K):
    x = jnp.clip(x + ALPHA * jnp.sign(jax.grad(objective)(x)), 0, 1)
  return train_step(net, opt, state, x, y)


@functools.partial(jax.jit, static_argnums=0)
def evaluate(net, params, x, y):
  logits = net.apply(params, x)[0]
  return cross_entropy(logits, y), logits.argmax(-1) == y  # of each image


def attack(net, params, members, others):
  """Forgetting score 2 |accuracy - 1/2| and AUC of an attack on the losses."""
  losses = [evaluate(net, params, *part)[0] for part in (members, others)]
  n = min(map(len, losses))  # as many members as non-members
  scores, truth = -np.concatenate([a[:n] for a in losses]), np.repeat([1, 0], n)
  accuracy = model_selection.cross_val_score(
      linear_model.LogisticRegression(), scores[:, None], truth, cv=10).mean()
  return 2 * abs(accuracy - 0.5), metrics.roc_auc_score(truth, scores)


def batches(n, epochs, rng):  # the remainder of an epoch is dropped
  for _ in range(epochs):
    yield from rng.permutation(n)[:n // BATCH * BATCH].reshape(-1, BATCH)


def train(net, x, y, rng):
  opt = optimizer(0.05, TRAIN_EPOCHS * (len(x) // BATCH))
  params = net.init(jax.random.key(rng.integers(2**31)), x[:1])
  state = params, opt.init(params)
  for rows in batches(len(x), TRAIN_EPOCHS, rng):
    state = train_step(net, opt, state, x[rows], y[rows])
  return state[0]


def unlearn(net, original, part, rng):
  """(4) Of the states that pass the attack, a late one that is good on val."""
  (x, y), (x_f, _), val = part['retain'], part['forget'], part['val']
  steps = EPOCHS * (len(x) // BATCH)
  opt, kept = optimizer(0.2, steps), []
  state, forget = (original, opt.init(original)), batches(len(x_f), 10**6, rng)
  score, auc = attack(net, original, part['forget'], val)
  for b, rows in enumerate(batches(len(x), EPOCHS, rng), 1):
    args, lambda_b = (x[rows], y[rows]), np.interp(b, (1, steps), LAMBDA)
    if score >= TAU and auc > 0.5:  # below 1/2: forgotten more than unseen
      state = dlfd_step(net, opt, state, *args, x_f[next(forget)], lambda_b)
    else:
      state = train_step(net, opt, state, *args)
    if b % CHECK_EVERY == 0 or b == steps:
      score, auc = attack(net, state[0], part['forget'], val)
      accuracy = evaluate(net, state[0], *val)[1].mean()
      kept.append((max(score, TAU), accuracy, state[0]))
  least = min(score for score, *_ in kept)  # TAU, unless no state passes
  best = max(a for score, a, _ in kept if score == least)  # partly luck
  error = (best * (1 - best) / len(val[1])) ** 0.5
  return [p for score, a, p in kept if score == least and a >= best - error][-1]


def main(people=280, seed=0):
  """Of the 140 people that the original learns, 14 are forgotten."""
  faces = synthetic.synthetic_faces(people=people, seed=seed)
  rng, part = np.random.default_rng(seed), {}
  person = rng.permutation(people)[faces.identity] / people
  for name, low, high in (('forget', 0, .05), ('retain', .05, .5),
                          ('val', .5, .6), ('test', .6, 1)):  # whole persons
    rows = (low <= person) & (person < high)
    part[name] = jnp.float32(faces.images[rows]) / 255, faces.labels[rows]
  net, both = Net(7), zip(part['retain'], part['forget'], strict=True)
  original = train(net, *map(jnp.concatenate, both), rng)
  print('accuracy on   retain  forget  test;  attack: score  AUC')
  for name, params in (
      ('original', original), ('DLFD', unlearn(net, original, part, rng)),
      ('retrained', train(net, *part['retain'], rng))):
    accuracy = [evaluate(net, params, *part[split])[1].mean()
                for split in ('retain', 'forget', 'test')]
    print('{:13} {:.3f}   {:.3f}   {:.3f}          {:.3f}  {:.3f}'.format(
        name, *accuracy, *attack(net, params, part['forget'], part['test'])))


if __name__ == '__main__':
  main()
