STATUS = $(DEPLOY).overview $${ENV:+"$$ENV"} $${HTML:+--html "$$HTML"}

.PHONY: promote approved security sign threat-model slo monitoring

promote approved:
	@$(DEPLOY).promote $@

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
