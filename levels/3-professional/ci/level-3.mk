.PHONY: security

security:
	@$(PYTHON) ci/security.py "$${CHECK:-both}" $${RECORD:+--record}
