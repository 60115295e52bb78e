"""Who answers: loading and the hook engine."""
