.PHONY: security sign threat-model

security:
	@$(PYTHON) ci/security.py "$${CHECK:-all}" $${RECORD:+--record} $${ISSUE:+--issue}

threat-model:
	@$(PYTHON) ci/levels.py threat-model $${CHECK:+--check}

sign:
	@$(DEPLOY).signing
