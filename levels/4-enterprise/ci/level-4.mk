FLAGS = if [ "$$APPLY" ]; then $(DEPLOY).steps.flags; else $(PYTHON) ci/levels.py flags $${ENV:+"$$ENV"}; fi

.PHONY: experiment analytics

experiment:
	@if [ "$$DO" = forget ]; then $(DEPLOY).events forget; else $(PYTHON) ci/levels.py experiment \
		$${DO:+"$$DO"} $${NAME:+--name "$$NAME"} $${ENV:+--environment "$$ENV"} $${VARIANT:+--variant "$$VARIANT"} \
		$${BASELINE:+--baseline "$$BASELINE"} $${DEVIATION:+--deviation "$$DEVIATION"} $${UNITS:+--units "$$UNITS"}; fi

# With the libraries that this command alone needs: uv installs them where it runs.
analytics:
	@LEVELS_AS='copier-levels[analytics] @ ' $(PYTHON) ci/levels.py analytics $${EVENTS:+--events "$$EVENTS"} \
		$${NAME:+--experiment "$$NAME"} $${HTML:+--html "$$HTML"} $${KEEP_DAYS:+--keep-days "$$KEEP_DAYS"}
