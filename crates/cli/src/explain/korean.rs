//! Korean.

use engine::{Accelerator, Architecture, MachineState};
use journey::Step;
use protocol::StartPart;

use super::journal::Place;
use super::server::Server;
use super::words::{Lesson, Purpose, Words, named, purpose, short, short_path, time};
use crate::format::units;

pub(super) struct Korean;

impl Words for Korean {
    fn heading(&self, command: &str) -> String {
        format!("`sampan {command}` 명령에서 일어난 일")
    }

    fn columns(&self) -> [&'static str; 4] {
        ["시점", "걸린 시간", "장소", "일어난 일"]
    }

    fn place(&self, place: Place) -> &'static str {
        match place {
            Place::Client => "클라이언트",
            Place::Service => "서비스",
            Place::Registry => "레지스트리",
            Place::Machine => "가상 머신",
            Place::Guest => "게스트",
            Place::Program => "프로그램",
        }
    }

    fn step(&self, step: &Step) -> String {
        match step {
            Step::ServiceStarted { address } => format!(
                "{address} 에 응답하는 서비스가 없어서 클라이언트가 서비스를 시작했습니다. 이미지, 컨테이너, 가상 머신을 \
                 관리하며 다음 명령을 위해 계속 남아 있습니다."
            ),
            Step::Connected { address } => {
                format!(
                    "클라이언트가 {address} 에서 서비스에 연결했습니다. 모든 명령은 이 서비스에 보내는 요청입니다."
                )
            }
            Step::Request { method, path, status } => request(method, path, *status),
            Step::ImageLookup { image, found: None } => {
                format!("이미지 {image} 를 로컬에서 찾았지만 없었습니다.")
            }
            Step::ImageLookup {
                image,
                found: Some((id, layers)),
            } => format!(
                "이미지 {image} 를 로컬에서 찾았습니다: {}, 레이어 {layers}개.",
                short(id)
            ),
            Step::ContainerRecorded { id, name, promised } => {
                let kept = if *promised {
                    "다른 일보다 먼저 디스크에"
                } else {
                    "--rm 이므로 실행되는 동안만"
                };
                format!(
                    "컨테이너 {} ({name}) 를 {kept} 기록했습니다. 아직 컨테이너는 이 기록일 뿐입니다.",
                    short(id)
                )
            }
            Step::Resolved {
                registry,
                image,
                digest,
            } => format!(
                "레지스트리 {registry} 에 {image} 가 지금 무엇을 가리키는지 물었습니다: 매니페스트 {}.",
                short(digest)
            ),
            Step::PlatformChosen {
                platform,
                offered,
                digest,
            } => format!(
                "이 이름은 이미지 {offered}개의 목록입니다. 가상 머신이 실행할 수 있는 {platform} 용을 골랐습니다: {}.",
                short(digest)
            ),
            Step::ConfigRead { digest, layers } => format!(
                "이미지 설정 {} 을 읽었습니다: 실행할 명령, 환경 변수, 레이어 {layers}개의 체크섬. 이 설정의 체크섬이 \
                 이미지 ID 입니다.",
                short(digest)
            ),
            Step::LayerPulled { digest, bytes } => format!(
                "레이어 {} ({}) 를 내려받아 체크섬을 확인하고 읽기 전용 파일 시스템(EROFS)으로 만들었습니다.",
                short(digest),
                units::size(i64::try_from(*bytes).unwrap_or(i64::MAX))
            ),
            Step::LayerKept { digest } => format!(
                "레이어 {} 는 이미 있었습니다. 이미지들은 같은 레이어를 함께 씁니다.",
                short(digest)
            ),
            Step::ImageRecorded { id } => format!(
                "이미지 {} 와 그 이름을 데이터베이스에 넣었습니다. 이제야 온전한 이미지가 됩니다.",
                short(id)
            ),
            Step::AcceleratorChosen { name, why } => {
                format!("가상 머신의 명령어를 무엇이 실행할지 정했습니다: {name} ({why}).")
            }
            Step::DiskPrepared => {
                "가상 머신의 데이터 디스크를 준비했습니다. 컨테이너가 쓰는 내용이 여기에 남습니다.".to_owned()
            }
            Step::Booted {
                architecture,
                accelerator,
                cpus,
                memory_mib,
                kernel,
                guest_ms,
            } => format!(
                "linux/{architecture} 가상 머신을 부팅했습니다 ({accelerator}, CPU {cpus}개, 메모리 최대 {memory_mib} \
                 MiB): Linux {kernel}, 첫 프로세스는 sampan 의 init 입니다. 게스트의 시계로는 {guest_ms} ms 였고, \
                 나머지는 가상 머신 프로세스를 시작하는 데 걸렸습니다."
            ),
            Step::MachineRan { architecture, kernel } => {
                format!("linux/{architecture} 가상 머신(Linux {kernel})은 이미 실행 중이었습니다.")
            }
            Step::MachineAwaited { architecture } => {
                format!("다른 명령이 부팅하고 있던 linux/{architecture} 가상 머신을 기다렸습니다.")
            }
            Step::LayersMapped { layers, fresh } => {
                let how = match fresh {
                    0 => "모두 이전 실행 때부터".to_owned(),
                    fresh if fresh == layers => "모두 방금".to_owned(),
                    fresh => format!("그중 {fresh}개는 방금"),
                };
                format!(
                    "이미지의 레이어 {layers}개가 읽기 전용 디스크로 가상 머신에 연결되어 있습니다({how}). 복사는 없습니다."
                )
            }
            Step::Wired { network, addresses } if addresses.is_empty() => {
                format!(
                    "컨테이너의 네트워크는 {} 이며 주소가 필요 없습니다.",
                    named(network)
                )
            }
            Step::Wired { network, addresses } => format!(
                "네트워크 {} 에서 컨테이너에 주소 {} 를 주었습니다.",
                named(network),
                addresses.join(", ")
            ),
            Step::Built { part } => built(*part).to_owned(),
            Step::Started { pid } => format!(
                "게스트의 init 에 vsock 으로 컨테이너 시작을 요청했고, 프로그램이 실행됩니다: 가상 머신에서는 {pid}번, \
                 컨테이너 안에서는 1번 프로세스입니다. 위의 게스트 줄들이 이 단계의 부분입니다."
            ),
            Step::RunRecorded => {
                "컨테이너가 실행 중임을 디스크에 기록했습니다. 갑자기 꺼져도 흔적이 남습니다.".to_owned()
            }
            Step::Ran {
                exit_code,
                out_of_memory,
            } => {
                let more = if *out_of_memory {
                    " 메모리 제한을 넘어서 커널이 종료시켰습니다."
                } else {
                    ""
                };
                format!("프로그램이 실행되고 종료 코드 {exit_code} 로 끝났습니다.{more}")
            }
            Step::OutputDrained => "남은 출력을 모두 전달했습니다.".to_owned(),
            Step::Removed { id } => {
                format!(
                    "컨테이너 {} 를 삭제했습니다: 기록, 로그, 컨테이너가 쓴 내용.",
                    short(id)
                )
            }
            Step::Unknown => "더 새로운 서비스의 단계라서 이 클라이언트는 알지 못합니다.".to_owned(),
        }
    }

    fn failed(&self, reason: &str) -> String {
        format!("실패했습니다: {reason}")
    }

    fn total(&self, total: &str, shares: &[(&str, String)]) -> String {
        let shares: Vec<String> = shares
            .iter()
            .map(|(place, time)| format!("{place} {time}"))
            .collect();
        format!(
            "모두 {total}. 각각 일한 시간: {}. 일부는 동시에 일했습니다.",
            shares.join(", ")
        )
    }

    fn lesson(&self, lesson: Lesson) -> String {
        match lesson {
            Lesson::Next {
                pulled_ns: 0,
                booted_ns,
            } => format!(
                "가상 머신은 켜져 있습니다. 다음 실행에는 부팅 시간 {} 이 들지 않습니다.",
                time(booted_ns)
            ),
            Lesson::Next {
                pulled_ns,
                booted_ns: 0,
            } => format!(
                "이미지는 로컬에 남습니다. 다음 실행에는 내려받는 시간 {} 이 들지 않습니다.",
                time(pulled_ns)
            ),
            Lesson::Next { pulled_ns, booted_ns } => format!(
                "이미지와 가상 머신은 남습니다. 다음 실행에는 내려받는 시간 {} 과 부팅 시간 {} 이 들지 않습니다.",
                time(pulled_ns),
                time(booted_ns)
            ),
            Lesson::Warm => {
                "이미지가 있었고 가상 머신도 켜져 있었습니다. 첫 실행이 아니면 늘 이렇습니다.".to_owned()
            }
        }
    }

    fn server_heading(&self) -> &'static str {
        "`sampan version` 에는 누가 대답하는가"
    }

    fn server(&self, server: &Server) -> Vec<(&'static str, String)> {
        let machine = &server.machine;
        let client = format!(
            "이 프로그램, 버전 {}, {}/{}. 스스로 컨테이너를 만들지 않고 서비스와 Docker API {} 로 이야기합니다.",
            env!("CARGO_PKG_VERSION"),
            server.client_os,
            server
                .client_architecture
                .map_or("알 수 없음", Architecture::docker_name),
            api::ApiVersion::NEWEST
        );
        let way = format!(
            "서비스는 {} 에서 기다리며 {} 만에 대답했습니다. Docker 클라이언트도 같은 방법으로 연결합니다.",
            server.address,
            time(server.asked_ns.unsigned_abs())
        );
        let why = if machine.why.is_empty() {
            String::new()
        } else {
            format!(
                " 실행 방식: {} ({}).",
                runner_name(machine.accelerator),
                machine.why
            )
        };
        let state = match (machine.state, machine.start_ms) {
            (MachineState::Running, Some(start)) => {
                let boot = machine
                    .boot_ms
                    .map_or_else(String::new, |boot| format!(" (커널의 첫 명령어부터 {boot} ms)"));
                format!(
                    " 켜져 있고, 시작에 {start} ms 가 걸렸으며{boot}, 지금 컨테이너 {}개를 실행합니다.",
                    machine.containers
                )
            }
            (MachineState::Running, None) => " 켜져 있습니다.".to_owned(),
            (MachineState::Stopped, _) => {
                " 꺼져 있어서 아무 자원도 쓰지 않습니다. 다음 컨테이너가 켭니다.".to_owned()
            }
        };
        let server_text = format!(
            "linux/{}, CPU {}개와 메모리 최대 {} MiB 의 가상 머신.{why}{state}",
            machine.architecture, machine.cpus, machine.memory_mib
        );
        vec![("클라이언트", client), ("연결", way), ("서버", server_text)]
    }

    fn why(&self, server: &Server) -> Vec<String> {
        let machine = &server.machine;
        let architecture = machine.architecture;
        let laptop = match server.client_os {
            "linux" => "이 컴퓨터는 Linux 를 쓰지만, 다른 컴퓨터와 똑같이 동작하도록 sampan 은 컨테이너를 이 커널과 떼어 \
                        놓습니다"
                .to_owned(),
            os => format!(
                "이 컴퓨터는 {} 를 쓰고, 그 커널에는 컨테이너의 재료인 네임스페이스와 cgroup 이 없습니다",
                if os == "darwin" { "macOS" } else { "Windows" }
            ),
        };
        let kernel = match &machine.kernel_release {
            Some(release) => format!("Linux 커널 {release}"),
            None => "따로 마련한 Linux 커널".to_owned(),
        };
        let runner = match machine.accelerator {
            Some(Accelerator::Kvm) => "Linux 의 하이퍼바이저 KVM 이 실행하는",
            Some(Accelerator::Hvf) => "Apple 의 Hypervisor.framework 가 실행하는",
            Some(Accelerator::Whp) => "Windows Hypervisor Platform 이 실행하는",
            Some(Accelerator::Tcg) => "QEMU 가 에뮬레이션하는",
            None => "첫 컨테이너와 함께 켜지는",
        };
        let own = server.client_architecture == Some(architecture);
        let reason = match (machine.accelerator, own) {
            (Some(Accelerator::Tcg), false) => format!(
                "{architecture} 인 까닭은 그렇게 요청했기 때문입니다. 이 컴퓨터의 프로세서는 {} 이므로 가상 머신의 모든 \
                 명령어를 번역합니다.",
                server
                    .client_architecture
                    .map_or("다른 종류", Architecture::docker_name)
            ),
            (Some(Accelerator::Tcg), true) => format!(
                "이 컴퓨터의 프로세서와 같은 {architecture} 입니다. 빠른 하이퍼바이저를 쓸 수 없어서 명령어를 번역합니다."
            ),
            (_, true) => format!(
                "{architecture} 인 까닭은 이 컴퓨터의 프로세서가 그것이고, 가상 머신의 명령어를 직접 실행하기 때문입니다."
            ),
            (_, false) => format!("{architecture} 인 까닭은 그렇게 요청했기 때문입니다."),
        };
        let state = match machine.state {
            MachineState::Running => "",
            MachineState::Stopped => " (지금은 꺼져 있고, 다음 컨테이너가 켭니다.)",
        };
        vec![
            format!("{laptop}. 컨테이너는 {runner} 가상 머신 안의 {kernel} 위에서 실행됩니다.{state}"),
            reason,
        ]
    }
}

fn runner_name(accelerator: Option<Accelerator>) -> &'static str {
    match accelerator {
        Some(Accelerator::Kvm) => "KVM",
        Some(Accelerator::Hvf) => "Hypervisor.framework",
        Some(Accelerator::Whp) => "Windows Hypervisor Platform",
        Some(Accelerator::Tcg) => "QEMU 번역기",
        None => "아직 없음",
    }
}

fn request(method: &str, path: &str, status: u16) -> String {
    let purpose = match (purpose(method, path), status) {
        (Purpose::Create, 404) => {
            "이 이미지로 컨테이너를 만들어 달라고 했으나 그런 이미지가 없다는 대답을 받았습니다"
        }
        (Purpose::Create, _) => "이 이미지로 컨테이너를 만들어 달라고 했습니다",
        (Purpose::Pull, _) => {
            "레지스트리에서 이미지를 받아 달라고 했습니다. 진행 상황은 대답이 시작된 뒤에도 계속 전해집니다"
        }
        (Purpose::Attach, _) => {
            "출력을 놓치지 않으려고 시작 전에 미리 연결했습니다. 이 연결은 이제부터 바이트를 그대로 나릅니다"
        }
        (Purpose::Wait, _) => "종료 코드가 나오면 바로 알려 달라고 했습니다",
        (Purpose::Start, _) => "컨테이너를 시작해 달라고 했습니다",
        (Purpose::Other, _) => "다음을 요청했습니다",
    };
    format!(
        "클라이언트가 {purpose}: {method} {}, 응답 {status}.",
        short_path(path)
    )
}

fn built(part: StartPart) -> &'static str {
    match part {
        StartPart::Layers => {
            "이미지의 레이어 가운데 아직 마운트되지 않은 것을 마운트했습니다. 레이어마다 파일 시스템입니다."
        }
        StartPart::Streams => "프로그램의 표준 스트림마다 호스트로 가는 연결을 열었습니다.",
        StartPart::Root => {
            "레이어를 겹치고 맨 위에 빈 쓰기용 레이어를 얹었습니다(overlayfs). 이것이 컨테이너의 루트입니다."
        }
        StartPart::Cgroup => {
            "CPU, 메모리, 프로세스 수, I/O 를 재고 제한하며 장치를 지키는 cgroup 을 만들었습니다."
        }
        StartPart::Surroundings => {
            "네트워크 네임스페이스를 준비했습니다: 자신만의 루프백, 그리고 네트워크의 브리지로 가는 케이블(veth)."
        }
        StartPart::Program => {
            "새 네임스페이스 안에 프로세스를 복제했습니다. 그 안에서 루트를 바꾸고 /proc, /sys, /dev 를 마운트하고 권한을 \
             내려놓고 seccomp 필터를 건 다음 프로그램이 되었습니다."
        }
        StartPart::Other => "더 새로운 게스트의 작업이라서 이 클라이언트는 알지 못합니다.",
    }
}
