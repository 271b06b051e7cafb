//! Compiling plain loops for the vector width of the processor at hand.

/// Defines functions whose loops are compiled once for each vector width, and chosen by a first argument `isa: Isa`. In a body the constant `FMA`
/// says whether the processor multiplies and adds in one instruction: the compiler makes no such instruction of a product and a sum by itself.
///
/// Whatever the body calls must be `#[inline(always)]` (or as small as a closure in [`super::math::sum`]), or it stays scalar code:
/// `perf report` shows such calls as functions of their own.
macro_rules! vectorized {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident $([$($generic:ident: $bound:path),+])? ($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)+) => {$(
        $(#[$meta])*
        #[allow(unsafe_code)] // Calling a function compiled for more than the baseline.
        $vis fn $name $(<$($generic: $bound),+>)? (isa: $crate::isa::Isa, $($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body<const FMA: bool $($(, $generic: $bound)+)?>($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512 $(<$($generic: $bound),+>)? ($($arg: $type),*) $(-> $result)? { body::<true $($(, $generic)+)?>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$($generic: $bound),+>)? ($($arg: $type),*) $(-> $result)? { body::<true $($(, $generic)+)?>($($arg),*) }
                match isa {
                    // SAFETY: what names an `Isa` from outside (`Gemm::new`, `Dropout::new`, `Executor::on`) asks whether it is available.
                    $crate::isa::Isa::Avx512 | $crate::isa::Isa::Amx => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::isa::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            let _ = isa;
            // 64-bit Arm always can; elsewhere the plain kernels are for processors that may not.
            body::<{ cfg!(target_arch = "aarch64") } $($(, $generic)+)?>($($arg),*)
        }
    )+};
}

pub(crate) use vectorized;
