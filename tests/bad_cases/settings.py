"""Flags: unknown, of the wrong type, out of range, or contradicting."""

from __future__ import annotations

from tests.bad_cases.case import Case

COMMANDS, TRAINING, UNLEARNING = 'Commands', 'Training flags', (
    'Unlearning flags')


def _train(mistake: str, *flags: str) -> Case:
  given = {flag.split('=')[0] for flag in flags}
  kept = [flag for flag in ('--data=faces.npz', '--labels=smile', '--width=2',
                            '--workdir=out')
          if flag.split('=')[0] not in given]
  return Case(TRAINING, mistake, ('train', *kept, *flags))


def _drawn(mistake: str, *flags: str) -> Case:
  return Case(TRAINING, mistake, ('train', '--workdir=out', *flags))


def _unlearn(mistake: str, *flags: str) -> Case:
  return Case(UNLEARNING, mistake, (
      'unlearn', '--original=original', '--forget_people=2', '--workdir=out',
      *flags))


CASES = [
    Case(COMMANDS, 'the command is misspelt', ('unlern',)),
    Case(COMMANDS, 'the command is a flag', ('--workdir=out',)),
    *(Case(COMMANDS, f'{name} is given nothing', (name,)) for name in (
        'train', 'check', 'unlearn', 'evaluate', 'report', 'compare',
        'import_weights', 'export_weights')),
    Case(COMMANDS, 'a flag is misspelt', ('train', '--worckdir=out')),
    Case(COMMANDS, 'a flag is of another command', (
        'report', '--epochs=3', '--evaluation=evaluation')),
    Case(COMMANDS, 'a word stands among the flags', (
        'train', 'faces.npz', '--workdir=out')),
    Case(COMMANDS, 'a flag has no value', ('train', '--workdir')),
    _train('epochs are a word', '--epochs=many'),
    _train('epochs are 0', '--epochs=0'),
    _train('epochs have a point', '--epochs=2.5'),
    _train('epochs do not fit 32 bits', '--epochs=99999999999'),
    _train('the batch is empty', '--batch_size=0'),
    _train('the learning rate is 0', '--learning_rate=0'),
    _train('the learning rate is below 0', '--learning_rate=-0.1'),
    _train('the learning rate is no number', '--learning_rate=nan'),
    _train('the learning rate is infinite', '--learning_rate=inf'),
    _train('the learning rate has a comma', '--learning_rate=0,1'),
    _train('momentum is 1', '--momentum=1'),
    _train('weight decay is below 0', '--weight_decay=-1'),
    _train('weight decay is no number', '--weight_decay=nan'),
    _train('the largest gradient is 0', '--clip_norm=0'),
    _train('the largest gradient is no number', '--clip_norm=nan'),
    _train('the optimizer is unknown', '--optimizer=rmsprop'),
    _train('the schedule is unknown', '--schedule=linear'),
    _train('augmentation is neither on nor off', '--augment=perhaps'),
    _train('the seed is below 0', '--seed=-1'),
    _train('the seed does not fit 32 bits', '--seed=4294967296'),
    _train('the architecture is unknown', '--architecture=resnet50'),
    _train('the width is 0', '--width=0'),
    _train('the width is absurd', '--width=1000000'),
    _train('the stem is unknown', '--stem=large'),
    _train('the head is unknown', '--head=double'),
    _train('the type of computation is unknown', '--compute_dtype=int8'),
    _train('saving memory is neither on nor off', '--remat=maybe'),
    _train('the preset is unknown', '--preset=mnist'),
    _train('who is trained on is unknown', '--on=everybody'),
    _train('a request is given, but everybody is trained on',
           '--forget_people=2'),
    _train('on=retain is asked for without a request', '--on=retain'),
    _train('there are not so many devices', '--devices=512'),
    _train('no device is to be used', '--devices=0'),
    _train('the CPU is to be no device', '--cpu_devices=0'),
    _train('device memory is below 0', '--device_bytes=-1'),
    _train('time between checkpoints is below 0', '--checkpoint_seconds=-1'),
    _train('time between checkpoints is no number', '--checkpoint_seconds=nan'),
    _train('the share of test is 0', '--test_fraction=0'),
    _train('the share of test is 1', '--test_fraction=1'),
    _train('the share of val is no number', '--val_fraction=nan'),
    _train('test and val are everybody', '--test_fraction=.6',
           '--val_fraction=.4'),
    _train('the seed of the split is below 0', '--split_seed=-1'),
    _train('the split is by something else', '--split_by=family'),
    _train('the original is no run', '--original=nowhere'),
    _train('the process has a number, but no coordinator', '--process_id=1'),
    _train('the coordinator has no port', '--coordinator=localhost',
           '--num_processes=2', '--process_id=0'),
    _drawn('nobody is to be drawn', '--people=0'),
    _drawn('people to draw are a word', '--people=many'),
    _drawn('nobody is to be drawn twice', '--images_per_person=0'),
    _drawn('drawn faces are too small', '--image_size=8'),
    _drawn('drawn faces are too large', '--image_size=1024'),
    _drawn('the seed of the drawing is below 0', '--data_seed=-1'),
    _drawn('the drawn task is unknown', '--labels=height'),
    _drawn('two drawn tasks are named', '--labels=age,gender'),
    _drawn('multilabel is neither on nor off', '--multilabel=2'),
    _drawn('a threshold has no value', '--thresholds=age'),
    _drawn('a threshold is a word', '--thresholds=age:old'),
    _drawn('the data are a folder', '--data=photos', '--labels=smile'),
    _drawn('no label is named', '--data=faces.npz'),
    _unlearn('the method is unknown', '--method=magic'),
    _unlearn('a flag is of another method', '--method=finetune',
             '--ot_weight=2'),
    _unlearn('what to rewind is named, but nothing is rewound',
             '--rewind_of=scrub'),
    _unlearn('inner steps are 0', '--perturb_steps=0'),
    _unlearn('the step size is below 0', '--perturb_step_size=-1'),
    _unlearn('the radius is no number', '--perturb_radius=nan'),
    _unlearn('the weight of the transport is below 0', '--ot_weight=-1'),
    _unlearn('the weight of the transport is infinite', '--ot_weight=inf'),
    _unlearn('lambda is no number', '--ce_weight_start=nan'),
    _unlearn('epsilon is 0', '--sinkhorn_epsilon=0'),
    _unlearn('epsilon is no number', '--sinkhorn_epsilon=nan'),
    _unlearn('Sinkhorn iterations are 0', '--sinkhorn_iterations=0'),
    _unlearn('Sinkhorn iterations do not fit 32 bits',
             '--sinkhorn_iterations=99999999999'),
    _unlearn('the marginal error to stop at is below 0',
             '--sinkhorn_threshold=-1'),
    _unlearn('the transport objective is unknown',
             '--sinkhorn_objective=exact'),
    _unlearn('the space of the transport is unknown',
             '--representation=pixels'),
    _unlearn('the loss of the update is unknown', '--update_loss=mse'),
    _unlearn('phases are neither dynamic nor not', '--dynamic_phases=often'),
    _unlearn('the forgetting threshold is above 1', '--forget_threshold=1.5'),
    _unlearn('the forgetting threshold is a word', '--forget_threshold=low'),
    _unlearn('the selection threshold is below 0', '--select_threshold=-.1'),
    _unlearn('the selection is unknown', '--selection=worst'),
    _unlearn('BatchNorm has a mode that does not exist', '--batch_norm=warm'),
    _unlearn('checks come every 0 steps', '--check_every=0'),
    _unlearn('the live attack is too small', '--live_limit=5'),
    _unlearn('beta is above 1', '--method=neggrad_plus', '--beta=2'),
    _unlearn('beta is 0', '--method=neggrad_plus', '--beta=0'),
    _unlearn('no block is to be trained', '--method=cf_k', '--k=0'),
    _unlearn('new blocks cannot keep old statistics', '--method=eu_k',
             '--batch_norm=frozen'),
    _unlearn('the temperature is 0', '--method=scrub', '--temperature=0'),
    _unlearn('there are more max epochs than epochs', '--method=scrub',
             '--epochs=2', '--max_epochs=3'),
    _unlearn('alpha is below 0', '--method=scrub', '--alpha=-1'),
    _unlearn('no retain image is read', '--method=bad_teaching',
             '--retain_share=0'),
    _unlearn('the other teacher is unknown', '--method=bad_teaching',
             '--incompetent=clown'),
    _unlearn('all impair images are noise', '--method=unsir',
             '--noise_share=1'),
    _unlearn('there is no noise image', '--method=unsir', '--noise_images=0'),
    _unlearn('rewinding compares by something else', '--method=rewind',
             '--rewind_measure=auc'),
    _unlearn('the release has one epoch', '--method=official_compat',
             '--epochs=2'),
    _unlearn('the seed is below 0', '--seed=-1'),
]
