.PHONY: experiments analytics

experiments:
	@$(PYTHON) ci/experiments.py

analytics:
	@LEVELS_EXTRA=analytics $(PYTHON) ci/levels.py analytics $${EVENTS:+--events "$$EVENTS"} \
		$${NAME:+--experiment "$$NAME"} $${HTML:+--html "$$HTML"} $${KEEP_DAYS:+--keep-days "$$KEEP_DAYS"}
