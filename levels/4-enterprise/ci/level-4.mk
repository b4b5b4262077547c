FLAGS = if [ "$$APPLY" ]; then $(DEPLOY).steps.flags; else $(PYTHON) ci/levels.py flags $${ENV:+"$$ENV"}; fi

.PHONY: experiment

experiment:
	@if [ "$$DO" = forget ]; then $(DEPLOY).events forget; else $(PYTHON) ci/levels.py experiment \
		$${DO:+"$$DO"} $${NAME:+--name "$$NAME"} $${ENV:+--environment "$$ENV"} $${VARIANT:+--variant "$$VARIANT"} \
		$${BASELINE:+--baseline "$$BASELINE"} $${DEVIATION:+--deviation "$$DEVIATION"} $${UNITS:+--units "$$UNITS"}; fi
