//! The clipped and quantised activation as a differentiable operation (Bu et al. 2022).

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Tensor};

use super::slices::{read, values};
use engine::network::activation::clip;

/// What `engine::network::activation` computes, from the values of layer `layer` and the ceilings of all layers.
///
/// The derivative of rounding is zero, so gradients ignore it (straight-through): they pass values between 0 and the
/// ceiling unchanged, and the ceiling's gradient comes from clipped values and from rounding errors.
#[derive(Debug, Clone)]
pub(super) struct Clip {
    pub(super) layer: usize,
    pub(super) levels: f32,
}

impl CustomOp2 for Clip {
    fn name(&self) -> &'static str {
        "clip"
    }

    fn cpu_fwd(
        &self,
        driven: &CpuStorage,
        layout: &Layout,
        ceilings: &CpuStorage,
        ceilings_layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let ceiling = values(ceilings, ceilings_layout)?[self.layer];
        let clipped = values(driven, layout)?
            .iter()
            .map(|&value| clip(value, ceiling, self.levels))
            .collect();
        Ok((CpuStorage::F32(clipped), layout.shape().clone()))
    }

    fn bwd(
        &self,
        driven: &Tensor,
        ceilings: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut errors = read(gradient, <[f32]>::to_vec)?;
        let mut of_ceilings = vec![0.0; ceilings.elem_count()];
        let ceiling = read(ceilings, |ceilings| ceilings[self.layer])?;
        let of_ceiling = read(driven, |driven| {
            read(result, |result| {
                let mut sum = 0.0;
                for ((error, &driven), &clipped) in errors.iter_mut().zip(driven).zip(result) {
                    if driven >= ceiling {
                        sum += *error;
                        *error = 0.0;
                    } else if driven <= 0.0 {
                        *error = 0.0;
                    } else {
                        sum += *error * (clipped - driven) / ceiling;
                    }
                }
                sum
            })
        })??;
        of_ceilings[self.layer] = of_ceiling;
        Ok((
            Some(Tensor::from_vec(errors, driven.dims(), &Device::Cpu)?),
            Some(Tensor::from_vec(of_ceilings, ceilings.dims(), &Device::Cpu)?),
        ))
    }
}
