"""What is said and decided in filing, without sockets and clocks: frames, XML, commands, responses, verdicts."""
