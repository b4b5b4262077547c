.PHONY: integration images deploy rollback status flags propose

integration:
	@$(PYTHON) ci/integration.py

images:
	@$(PYTHON) ci/deploy.py images $${DRY_RUN:+--dry-run}

deploy:
	@$(PYTHON) ci/deploy.py deploy "$$ENV" $${VERSION:+--version "$$VERSION"} $${DRY_RUN:+--dry-run}

rollback:
	@$(PYTHON) ci/deploy.py rollback "$$ENV" $${DRY_RUN:+--dry-run}

status:
	@$(PYTHON) ci/deploy.py status "$$ENV" $${DRY_RUN:+--dry-run}

flags:
	@if [ -n "$$MEASURE" ]; then $(PYTHON) ci/levels.py flags $${ENV:+"$$ENV"}; else $(PYTHON) ci/flags.py $${ENV:+"$$ENV"}; fi

propose:
	@$(PYTHON) ci/levels.py propose $${DRY_RUN:+--dry-run}
