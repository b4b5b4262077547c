STATUS = $(DEPLOY).overview $${ENV:+"$$ENV"} $${HTML:+--html "$$HTML"}

.PHONY: promote approved security sign threat-model slo

promote approved:
	@$(DEPLOY).promote $@

security:
	@$(PYTHON) ci/security.py "$${CHECK:-all}" $${RECORD:+--record} $${ISSUE:+--issue}

threat-model:
	@$(PYTHON) ci/levels.py threat-model $${CHECK:+--check}

slo:
	@$(PYTHON) ci/levels.py slo $${ENV:+"$$ENV"}

sign:
	@$(DEPLOY).signing
