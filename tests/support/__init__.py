"""What the tests work with: projects, repositories, servers, and programs that stand in for others."""
