/* bcryptprimitives.dll for Wine 8, which lacks it: random numbers of Rust's standard library. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count) {
  while (count) {
    ULONG some = count > 0x100000 ? 0x100000 : (ULONG)count;
    if (!SystemFunction036(bytes, some)) return FALSE;
    bytes += some;
    count -= some;
  }
  return TRUE;
}
