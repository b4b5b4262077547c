STATUS = $(DEPLOY).overview $${ENV:+"$$ENV"} $${HTML:+--html "$$HTML"}

.PHONY: promote approved security

promote approved:
	@$(DEPLOY).promote $@

security:
	@$(PYTHON) ci/security.py "$${CHECK:-both}" $${RECORD:+--record}
