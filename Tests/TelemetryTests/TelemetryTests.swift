import Synchronization
import Testing

@testable import Telemetry

@Suite struct TelemetryTests {
    @Test func countersAndHistogramsAreWrittenAsPrometheusReadsThem() async {
        let registry = MetricRegistry()
        let calls = registry.counter("calls_total", help: "Calls.", labels: ["route", "status"])
        calls.increment("/v1/vm", "200")
        calls.increment("/v1/vm", "200")
        calls.increment("a\"b\\c\nd", "500", by: 3)
        let seconds = registry.histogram("seconds", help: "Time.", bounds: [0.5, 1])
        seconds.observe(0.5)
        seconds.observe(.seconds(2))
        registry.collect("pool") { [.init("open", help: "Open ones.", labels: [("pool", "a")], 7)] }
        #expect(
            await registry.exposition() == """
                # HELP calls_total Calls.
                # TYPE calls_total counter
                calls_total{route="/v1/vm",status="200"} 2
                calls_total{route="a\\"b\\\\c\\nd",status="500"} 3
                # HELP seconds Time.
                # TYPE seconds histogram
                seconds_bucket{le="0.5"} 1
                seconds_bucket{le="1"} 1
                seconds_bucket{le="+Inf"} 2
                seconds_sum 2.5
                seconds_count 2
                # HELP open Open ones.
                # TYPE open gauge
                open{pool="a"} 7
                # HELP martlet_collector_up 1 if the collector's last round succeeded.
                # TYPE martlet_collector_up gauge
                martlet_collector_up{collector="pool"} 1

                """)
    }

    @Test func aFamilyIsBoundedAndACollectorToo() async {
        let registry = MetricRegistry(freshness: .seconds(60), patience: .milliseconds(50))
        let calls = registry.counter("calls_total", help: "Calls.", labels: ["who"])
        for number in 0..<MetricFamily.maximumSeries + 5 { calls.increment("\(number)") }
        let asked = Mutex(0)
        registry.collect("counted") {
            asked.withLock { $0 += 1 }
            return []
        }
        registry.collect("stuck") {
            try await Task.sleep(for: .seconds(60))
            return [.init("never", help: "Never seen.", 1)]
        }
        let begin = ContinuousClock.now
        for _ in 0..<3 {
            let text = await registry.exposition()
            #expect(text.contains("calls_total{who=\"other\"} 5\n"))
            #expect(text.contains("martlet_collector_up{collector=\"stuck\"} 0\n") && !text.contains("never"))
        }
        #expect(asked.withLock { $0 } == 1)
        #expect(.now - begin < .seconds(5))
    }
}
