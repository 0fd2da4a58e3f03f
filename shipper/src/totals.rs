//! Totals of the drops that have no detail: what the kernel counted, less what was told before.

use crate::drop_report::SuppressionCause;
use crate::enrich::SuppressedCount;
use crate::probe::SiteCount;
use std::collections::HashMap;

/// What was told so far. As large as the probe's table of sites, which is bounded.
#[derive(Debug, Default)]
pub struct Totals {
    told: HashMap<(Option<u64>, Option<u32>, SuppressionCause), u64>,
}

impl Totals {
    /// The drops without detail that no earlier call returned.
    pub fn take_untold(&mut self, sites: &[SiteCount], decode_errors: u64) -> Vec<SuppressedCount> {
        let mut untold = Vec::new();
        for site in sites {
            self.take(site.site, site.reason, SuppressionCause::Budget, site.suppressed, &mut untold);
            self.take(site.site, site.reason, SuppressionCause::RingFull, site.ring_lost, &mut untold);
        }
        self.take(None, None, SuppressionCause::DecodeError, decode_errors, &mut untold);
        untold
    }

    fn take(
        &mut self,
        site: Option<u64>,
        reason: Option<u32>,
        cause: SuppressionCause,
        total: u64,
        untold: &mut Vec<SuppressedCount>,
    ) {
        if total == 0 {
            return;
        }
        let told = self.told.entry((site, reason, cause)).or_default();
        let count = total.saturating_sub(*told);
        if count > 0 {
            *told = total;
            untold.push(SuppressedCount { site, reason, cause, count });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_drop_is_told_once_under_its_cause() {
        let mut totals = Totals::default();
        let site =
            SiteCount { site: Some(7), reason: Some(3), seen: 100, suppressed: 10, ..SiteCount::default() };
        let count = |cause, count| SuppressedCount { site: Some(7), reason: Some(3), cause, count };

        assert_eq!(totals.take_untold(&[site], 0), [count(SuppressionCause::Budget, 10)]);
        assert_eq!(totals.take_untold(&[site], 0), []);
        let later = SiteCount { suppressed: 15, ring_lost: 4, ..site };
        assert_eq!(
            totals.take_untold(&[later], 0),
            [count(SuppressionCause::Budget, 5), count(SuppressionCause::RingFull, 4)]
        );
    }

    #[test]
    fn undecodable_events_have_no_site() {
        let [untold] = Totals::default().take_untold(&[], 2)[..] else { panic!("one entry") };
        assert_eq!((untold.site, untold.count, untold.cause), (None, 2, SuppressionCause::DecodeError));
    }
}
