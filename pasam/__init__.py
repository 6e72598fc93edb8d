"""PA-SAM: high-quality promptable segmentation that can be reproduced, operated and trusted."""

__version__ = "0.1.0"
