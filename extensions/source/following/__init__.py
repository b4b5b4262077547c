"""Follow what importing a Flask service would do, without importing it.

Statements are gone through in the order in which Python would run them, from the module that the service
starts from: imports between its files, calls of its functions (factories, `init_app`), loops over lists that
stand in the source. Values are followed only as far as routes need: texts and lists, functions, classes,
Flask apps and blueprints; all else is UNKNOWN. What happens only under a condition that the source doesn't
settle is in doubt, and a registration that is in doubt is a note, never a route.

follower.py has the way in. imports.py, statements.py, expressions.py and calls.py go through Python;
registration.py knows Flask, and restful.py an extension of it.
"""
