import ArgumentParser
import Client
import Foundation
import Operator
import Providers

struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Build and list the images that VMs of the provider 'docker' are made of.",
        subcommands: [Build.self, List.self])

    struct Build: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Build the image, in the engine.",
            discussion: """
                A Debian 12 with the packages of the languages, an SSH server and the runner. New VMs are made of it at \
                once, those there are when they are made again.
                """)

        @OptionGroup var engine: EngineOptions

        @Option(help: ArgumentHelp("What to begin with: an image of Debian 12.", valueName: "name:tag"))
        var base = "debian:12"

        @Flag(help: "Begin with a Debian 12 made by debootstrap, where no registry can be reached. Needs root.")
        var fromDebootstrap = false

        @Option(
            help: ArgumentHelp(
                "The Debian mirror for debootstrap.", discussion: "Else the one of this machine's own packages.",
                valueName: "url"))
        var mirror: String?

        @Option(help: "The languages to install: the common ones, or all in the directory of MARTLET_RUNTIMES.")
        var set = LanguageSet.base

        @Option(
            help: ArgumentHelp("Or just these languages, separated by commas.", valueName: "names"))
        var runtimes: String?

        @Option(
            help: ArgumentHelp(
                "The program inside each VM (MARTLET_RUNNER).",
                discussion: "Else the one built or installed with this.",
                valueName: "path"), completion: .file())
        var runner: String?

        @Flag(help: "Print one JSON object for each step, and one for the image.") var json = false

        enum LanguageSet: String, ExpressibleByArgument, CaseIterable {
            case base, full
        }

        private var languages: ImageBuilder.Languages {
            if let runtimes {
                return .named(runtimes.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
            }
            return set == .full ? .full : .base
        }

        func validate() throws {
            if mirror != nil, !fromDebootstrap {
                throw ValidationError("--mirror belongs to --from-debootstrap.")
            }
        }

        func run() async throws {
            let settings = try engine.settings { $0.runner = runner }
            let console = Console.standard(json: json)
            let builder = ImageBuilder(engine: try VMProviders.engine(settings.docker))
            let plan = ImageBuilder.Plan(
                tag: settings.docker.image, base: fromDebootstrap ? .debootstrap(mirror: mirror) : .image(base),
                languages: languages, runner: settings.runner, runtimes: settings.runtimes)
            try await console.reporting {
                try await Shutdown.withShutdown { _ in
                } _: { _ in
                    let image = try await builder.build(plan) { progress in
                        switch progress {
                        case .step(let name): console.begin(name)
                        case .detail(let text): console.detail(text)
                        }
                    }
                    console.finish(.done, "\(plan.tag), \(image.sizeInBytes / 1_000_000) MB")
                    console.event(Built(image: image))
                }
            }
        }

        private struct Built: Encodable {
            let event = "built"
            let image: VMImage
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the images that the engine has.")

        @OptionGroup var engine: EngineOptions
        @Flag(help: "Print one JSON object an image.") var json = false

        func run() async throws {
            let settings = try engine.settings()
            let images = try await ImageBuilder(engine: try VMProviders.engine(settings.docker)).list()
            if json {
                let console = Console(mode: .json)
                for image in images { console.event(image) }
                return
            }
            var table = TextTable(["IMAGE", "ID", "CREATED", "SIZE", "RUNNER", "LANGUAGES"])
            for image in images {
                table.add([
                    image.tags.first ?? "-", String(image.id.dropFirst("sha256:".count).prefix(12)),
                    image.createdAt.formatted(.iso8601), "\(image.sizeInBytes / 1_000_000) MB", image.runnerVersion,
                    image.runtimes.joined(separator: " "),
                ])
            }
            try await printLine(table.description)
        }
    }
}

/// What commands need that speak with the engine only.
struct EngineOptions: ParsableArguments {
    @OptionGroup var docker: DockerOptions

    @Option(
        help: ArgumentHelp(
            "The configuration file.", discussion: "Else $XDG_CONFIG_HOME/martlet/config.json, where it exists.",
            valueName: "path"), completion: .file())
    var config: String?

    func settings(_ add: (inout SettingsLayer) -> Void = { _ in }) throws -> Settings {
        var flags = SettingsLayer()
        docker.set(in: &flags)
        add(&flags)
        return try Settings(flags: flags, configurationFile: config ?? SettingsLayer.standardFile())
    }
}
