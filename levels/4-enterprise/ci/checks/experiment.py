"""config/experiments.yml is right, and what was planned of an experiment that runs hasn't changed since."""

import sys

from experiments import of

if __name__ == "__main__":
    sys.argv[0] = "experiments"  # what messages begin with
    of("")
