import torch

# Tensors are tiny here. With a thread a core, one test took 40 times as long while other programs used the machine.
torch.set_num_threads(1)
