.PHONY: experiments

experiments:
	@$(PYTHON) ci/experiments.py
