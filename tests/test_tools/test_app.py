"""The page, in a headless Chromium with real clicks."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from rsmamba_mm.datasets import SCENE_MASK_CLASSES, render_scene

pytest.importorskip('gradio', reason='the page needs the extra app')
selenium = pytest.importorskip('selenium', reason='clicks need selenium')
CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
if not (CHROMIUM and DRIVER):
    pytest.skip('clicks need Chromium and its driver (chromium, chromium-driver)', allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def address(root, scenes, land_cover, tmp_path_factory):
    """Of a page that runs."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp('page') / 'log.txt'
    command = [sys.executable, root / 'demo/app.py', '--port', port, '--device', 'cpu']
    command += ['--classifier', *scenes, '--segmenter', *land_cover]
    with log.open('w') as out:
        page = subprocess.Popen(
            list(map(str, command)), stdout=out, stderr=out, env={**os.environ, 'PYTHONUNBUFFERED': '1'}
        )
    try:
        for _ in range(600):
            if f'127.0.0.1:{port}' in log.read_text() or page.poll() is not None:
                break
            time.sleep(0.1)
        assert page.poll() is None, log.read_text()
        yield f'http://127.0.0.1:{port}'
    finally:
        page.send_signal(signal.SIGINT)
        page.wait(20)


@pytest.fixture
def browser(address, tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        '--headless=new',
        '--no-sandbox',
        '--disable-dev-shm-usage',
        '--window-size=1400,1200',
    ):
        options.add_argument(argument)
    options.add_experimental_option('prefs', {'download.default_directory': str(tmp_path / 'downloads')})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.implicitly_wait(20)
    driver.get(address)
    try:
        yield driver
    finally:
        driver.quit()


def wait(browser, condition, seconds: int = 60):
    return WebDriverWait(browser, seconds).until(condition)


def overlay(browser) -> str:
    """Address of the picture that is shown; a new one for each."""
    return wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, '#overlay img').get_attribute('src'))


def downloaded(browser, folder):
    """The file behind the button."""
    browser.find_element(By.ID, 'download').click()
    (file,) = wait(browser, lambda _: list((folder / 'downloads').glob('*.tif')))
    return file


def drop(browser, file) -> None:
    browser.find_element(By.CSS_SELECTOR, '#file input[type=file]').send_keys(str(file))


def test_an_example(browser, tmp_path):
    browser.find_elements(By.CSS_SELECTOR, '#examples button.thumbnail-item')[1].click()
    first = overlay(browser)
    table = browser.find_element(By.ID, 'areas').text
    assert any(name in table for name in SCENE_MASK_CLASSES) and ' px' in table
    slider = browser.find_element(By.CSS_SELECTOR, '#opacity input[type=range]')
    slider.send_keys(Keys.HOME)
    wait(browser, lambda b: overlay(b) != first)
    with rasterio.open(downloaded(browser, tmp_path)) as written:
        assert written.shape == (256, 256) and written.read(1).max() < len(SCENE_MASK_CLASSES)
    browser.find_element(By.XPATH, '//button[@role="tab"][contains(., "Scene")]').click()
    scores = wait(browser, lambda b: b.find_element(By.ID, 'scores').text)
    assert '%' in scores
    assert wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, '#gates img')).is_displayed()


def test_a_geotiff_keeps_its_place(browser, tmp_path):
    image = render_scene('harbor', 128).image[..., ::-1]
    place = dict(crs='EPSG:32640', transform=from_origin(327_000.0, 2_780_000.0, 2.0, 2.0))
    with rasterio.open(
        tmp_path / 'harbor.tif', 'w', driver='GTiff', height=128, width=128, count=3, dtype='uint8', **place
    ) as out:
        out.write(np.moveaxis(image, -1, 0))
    drop(browser, tmp_path / 'harbor.tif')
    overlay(browser)
    assert ' ha' in browser.find_element(By.ID, 'areas').text
    with rasterio.open(downloaded(browser, tmp_path)) as written:
        assert written.crs == place['crs'] and written.transform == place['transform']


def test_what_is_no_image_is_said(browser, tmp_path):
    (tmp_path / 'letter.png').write_text('no image')
    drop(browser, tmp_path / 'letter.png')
    said = wait(browser, lambda b: b.find_element(By.CSS_SELECTOR, '.toast-body').text)
    assert 'letter.png cannot be read as an image' in said
