"""The paper's data sets, CelebA and CIFAR as ``tensorflow_datasets`` builders.

None of them needs TensorFlow. ``catalog`` alone can be imported quickly; the
rest imports ``tensorflow_datasets``.
"""
