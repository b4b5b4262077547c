FLAGS = if [ "$$APPLY" ]; then $(DEPLOY).steps.flags; else $(PYTHON) ci/levels.py flags $${ENV:+"$$ENV"}; fi

.PHONY: experiment

experiment:
	@$(DEPLOY).experiment
