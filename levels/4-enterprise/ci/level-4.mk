.PHONY: experiments analytics

experiments:
	@$(PYTHON) ci/experiments.py

# With the libraries that this command alone needs: uv installs them where it runs.
analytics:
	@LEVELS_AS='copier-levels[analytics] @ ' $(PYTHON) ci/levels.py analytics $${EVENTS:+--events "$$EVENTS"} \
		$${NAME:+--experiment "$$NAME"} $${HTML:+--html "$$HTML"} $${KEEP_DAYS:+--keep-days "$$KEEP_DAYS"}
