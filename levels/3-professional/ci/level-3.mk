.PHONY: security slo

security:
	@$(PYTHON) ci/security.py "$${CHECK:-both}" $${RECORD:+--record}

slo:
	@$(PYTHON) ci/levels.py slo $${ENV:+"$$ENV"}
