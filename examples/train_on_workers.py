"""Train a classifier in several processes: start this in each, with a TF_CONFIG of its own (docs/distributed.md)."""

import gpflow
import numpy as np

from sigkernel_tf.gp import SigGPDE, TrainingOptions, connect_workers, evaluate, flatten_paths, train

strategy = connect_workers(timeout=120)  # before anything is computed with TensorFlow

walks = np.random.default_rng(0).normal(size=(600, 12, 3)).cumsum(axis=1)  # 600 paths of 12 points in 3 channels
data = flatten_paths(walks), np.argmax(walks[:, -1], axis=1)[:, None]  # classified by the channel that ends highest

model = SigGPDE(3, 40, likelihood=gpflow.likelihoods.MultiClass(3), num_latent_gps=3, lengthscales=np.full(3, 8.0))
options = TrainingOptions(iterations=200, learning_rate=1e-2, checkpoint_dir="run")
train(model, data, options, strategy=strategy)
print(f"accuracy {evaluate(model, data).accuracy:.3f}")
