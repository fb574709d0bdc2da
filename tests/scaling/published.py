"""Published errors of DenseNets by their number of parameters."""

import numpy as np

# DenseNet paper (arXiv:1608.06993), BC networks: parameters and C10+ error in %
PAPER_PARAMS = [769_162, 1_542_682, 2_733_130, 4_261_690, 15_324_406, 25_624_430]
PAPER_ERROR = np.array([4.51, 4.58, 3.99, 4.01, 3.62, 3.46]) / 100

# torchvision's ImageNet weights of DenseNet 121, 169, 201, 161
TORCHVISION_PARAMS = [7_978_856, 14_149_480, 20_013_928, 28_681_000]
TORCHVISION_ERROR = 1 - np.array([74.43, 75.60, 76.90, 77.14]) / 100
