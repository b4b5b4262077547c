.PHONY: integration images deploy rollback status flags propose

integration:
	@$(PYTHON) ci/integration.py

images:
	@$(PYTHON) ci/deploy.py images $${ENV:+"$$ENV"} $${DRY_RUN:+--dry-run}

deploy:
	@$(PYTHON) ci/deploy.py deploy "$$ENV" $${VERSION:+--version "$$VERSION"} $${DRY_RUN:+--dry-run}

rollback:
	@$(PYTHON) ci/deploy.py rollback "$$ENV" $${DRY_RUN:+--dry-run}

status:
	@$(PYTHON) ci/deploy.py status "$$ENV" $${DRY_RUN:+--dry-run}

flags:
	@$(PYTHON) ci/levels.py flags $${ENV:+"$$ENV"}

propose:
	@$(PYTHON) ci/levels.py propose $${DRY_RUN:+--dry-run}
