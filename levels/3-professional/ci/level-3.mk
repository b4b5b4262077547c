STATUS = $(DEPLOY).overview $${ENV:+"$$ENV"} $${HTML:+--html "$$HTML"}

.PHONY: promote approved security sign threat-model slo monitoring

# What a pull request must pass at this level, too.
ci: security

promote:
	@$(PYTHON) ci/levels.py promote $${FROM:+--from "$$FROM"} --to "$$TO" $${REASON:+--reason "$$REASON"} $${DRY_RUN:+--dry-run}

approved:
	@$(DEPLOY).approval

security:
	@$(PYTHON) ci/security.py "$${CHECK:-all}" $${RECORD:+--record} $${ISSUE:+--issue}

threat-model:
	@$(PYTHON) ci/levels.py threat-model $${CHECK:+--check}

monitoring:
	@$(DEPLOY).monitoring

slo:
	@$(PYTHON) ci/levels.py slo $${ENV:+"$$ENV"}

sign:
	@$(DEPLOY).steps.signatures
