/* bcryptprimitives.dll for Wine 8, which has none: the source of random numbers that Rust's standard library asks for. */
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
