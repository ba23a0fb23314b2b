/* Rust's standard library asks Windows for randomness by ProcessPrng, which Wine has only since version 9. This is the
 * library that it looks for it in, over the older interface that every Wine has. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) {
    /* The older one takes at most 32 bits of length. */
    for (SIZE_T at = 0; at < length;) {
        SIZE_T left = length - at;
        ULONG part = left > 1 << 20 ? 1 << 20 : (ULONG)left;
        if (!RtlGenRandom(bytes + at, part)) return FALSE;
        at += part;
    }
    return TRUE;
}
