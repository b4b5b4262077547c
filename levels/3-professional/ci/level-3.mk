STATUS = $(DEPLOY).overview $${ENV:+"$$ENV"} $${HTML:+--html "$$HTML"}

.PHONY: promote approved security sign threat-model

promote approved:
	@$(DEPLOY).promote $@

security:
	@$(PYTHON) ci/security.py "$${CHECK:-all}" $${RECORD:+--record} $${ISSUE:+--issue}

threat-model:
	@$(PYTHON) ci/levels.py threat-model $${CHECK:+--check}

sign:
	@$(DEPLOY).steps.signatures
