.PHONY: security

security:
	@$(PYTHON) ci/security.py "$${CHECK:-all}" $${RECORD:+--record} $${ISSUE:+--issue}
