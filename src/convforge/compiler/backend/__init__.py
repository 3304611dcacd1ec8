"""From chosen kernels to a file on disk: program, schedule, memory, C, toolchain, package."""
