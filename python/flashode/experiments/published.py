"""Where the figures that experiments call published come from."""

CITATION = "Zhou's review of Chen et al., “Neural Ordinary Differential Equations”, NeurIPS 2018"
