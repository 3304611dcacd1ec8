/* The weights, weights.bin, as read-only data that begins at a multiple of 64 bytes. */
#if defined(__APPLE__)
    .section __TEXT,__const
    .p2align 6
    .private_extern _cf_weights
    .globl _cf_weights
_cf_weights:
    .incbin "weights.bin"
    .byte 0
#elif defined(_WIN32)
    .section .rdata,"dr"
    .p2align 6
    .globl cf_weights
cf_weights:
    .incbin "weights.bin"
    .byte 0
#elif defined(__wasm__)
    .section .rodata.cf_weights,"",@
    .p2align 6
    .hidden cf_weights
    .globl cf_weights
    .type cf_weights,@object
cf_weights:
    .incbin "weights.bin"
    .int8 0
.Lcf_weights_end:
    .size cf_weights, .Lcf_weights_end-cf_weights
#else
    .section .rodata
    .p2align 6
    .hidden cf_weights
    .globl cf_weights
    .type cf_weights,%object
cf_weights:
    .incbin "weights.bin"
    .byte 0
    .size cf_weights, . - cf_weights
    .section .note.GNU-stack,"",%progbits
#endif
