# -P: a deploy.py of yours at the root is not taken for it.
DEPLOY = PYTHONPATH=ci $(PYTHON) -P -m deploy

.PHONY: integration gates ci images deploy rollback status logs smoke flags env setup propose

integration:
	@$(PYTHON) ci/integration.py

gates:
	@$(PYTHON) ci/check.py test gates

ci: check integration

images:
	@$(DEPLOY) images $${ENV:+"$$ENV"} $${DRY_RUN:+--dry-run}

deploy:
	@$(DEPLOY) deploy "$$ENV" $${VERSION:+--version "$$VERSION"} $${RELEASE:+--release "$$RELEASE"} $${DRY_RUN:+--dry-run}

rollback:
	@$(DEPLOY) rollback "$$ENV" $${RELEASE:+--release "$$RELEASE"} $${DRY_RUN:+--dry-run}

# A higher level may say more.
STATUS = $(DEPLOY) status "$$ENV"

status:
	@$(STATUS)

logs:
	@$(DEPLOY) logs "$$ENV" $${SERVICE:+--service "$$SERVICE"}

smoke:
	@$(DEPLOY) smoke "$$ENV"

FLAGS = $(PYTHON) ci/levels.py flags $${ENV:+"$$ENV"}

flags:
	@$(FLAGS)

env:
	@$(PYTHON) ci/levels.py env "$$ENV" $${CHECK:+--check}

setup:
	@$(PYTHON) ci/levels.py setup "$$ENV" $${YES:+--yes}

propose:
	@$(PYTHON) ci/levels.py propose $${DRY_RUN:+--dry-run}
