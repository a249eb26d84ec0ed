"""What the suites that drive the real binary share: starting it, and talking to it over a bare socket."""
